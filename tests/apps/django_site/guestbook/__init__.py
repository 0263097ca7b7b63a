"""An app with a model, a form that a token protects, and a page."""
