"""Run networks in a browser that has opened a page of ours: on a phone, or on this machine."""
