"""From a checkpoint and dataset folders to a better checkpoint, on the Hugging Face Trainer."""
