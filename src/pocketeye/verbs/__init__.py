"""Hold one module per verb, one typed function in it: its signature is the command line and the API."""
