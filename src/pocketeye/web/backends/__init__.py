"""Answer annotation tools over HTTP in their own words: Label Studio, CVAT, X-AnyLabeling."""
