"""The Great Expectations suite for patients, made from the schema, and the gate that runs it."""
