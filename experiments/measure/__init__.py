"""From captures to numbers: reading them, what they show, the metrics, and the arithmetic that says what each should be."""
