"""From scenes to images to balanced records: the data that makes an expert."""
