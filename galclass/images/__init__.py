"""Read images, folders and catalogues into arrays for the network."""
