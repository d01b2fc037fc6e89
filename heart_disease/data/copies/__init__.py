"""The published copies of this data: what they mean, how they are translated, and how unknown patients are judged."""
