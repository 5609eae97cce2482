"""The Slicer side of TomoRay: panel, logic, jobs and nodes; one class a file."""
