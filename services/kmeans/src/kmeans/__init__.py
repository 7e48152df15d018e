"""KMeans clustering as a service, its cluster count live in Nacos."""
