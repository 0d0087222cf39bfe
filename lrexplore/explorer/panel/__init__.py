"""The one widget that draws, what goes over the wire to it, and its front end."""
