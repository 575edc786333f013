"""Methods of pre-training: losses around the encoder that is kept."""
