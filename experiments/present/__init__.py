"""From numbers to what a person looks at: figures, ladders, the report, tables in the terminal."""
