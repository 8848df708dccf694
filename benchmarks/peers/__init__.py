"""Ways to map a scene with which canemap is compared: see README.md.

Each module has `predict(scene, model, out)`: it maps the GeoTIFF `scene` with the checkpoint `model`, writes the
classes as a uint8 GeoTIFF into the folder `out`, and returns the path of that file. All arguments are paths as text.
"""
