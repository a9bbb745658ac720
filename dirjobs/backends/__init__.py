"""The stores that come with dirjobs; each enters through the registry."""
