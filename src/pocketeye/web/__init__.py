"""Serve pages: an exported network to try on this device, or on a phone of the local network."""
