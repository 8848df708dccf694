"""What is uploaded, and what is made of it to train on: scenes, labels, datasets."""
