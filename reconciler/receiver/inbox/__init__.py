"""The durable inbox: events are stored here before they are answered, and handed on from here."""
