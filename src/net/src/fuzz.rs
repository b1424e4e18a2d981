//! The parsers of what a guest sends, one function each, for the fuzz targets and the mutation test.
//!
//! Each takes any bytes, and must return.
