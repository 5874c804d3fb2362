//! Tests of the memory manager as a whole, on a space without a kernel.
