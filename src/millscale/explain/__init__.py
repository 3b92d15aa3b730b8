"""Why a bundle says what it says: heat maps of its boxes and of its verdict, with a test of every map."""
