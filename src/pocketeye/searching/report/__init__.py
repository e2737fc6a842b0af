"""Write the page a search ends with."""
