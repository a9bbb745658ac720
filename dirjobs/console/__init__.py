"""What is printed for people: text, tables, the live board, one-sentence errors."""
