"""Numbers about people and things: arrays in, arrays out; knows no shop, no table and no engine."""
