"""Writing plans into a store: in batches with a journal, or in bulk; and taking SAEs out again."""
