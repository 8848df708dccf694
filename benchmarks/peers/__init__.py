"""Ways to map a scene that canemap is measured against: see README.md.

Each module has `predict(scene, model, out)`: it writes the classes of the GeoTIFF `scene` by the checkpoint `model` as
a uint8 GeoTIFF into the folder `out`, and returns that file's path. All three are paths, as text.
"""
