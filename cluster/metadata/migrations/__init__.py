"""Steps from one format of the metadata store to the next, shipped with the package."""
