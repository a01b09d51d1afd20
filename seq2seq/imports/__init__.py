"""Models of other toolkits, read from their files and written as run directories."""
