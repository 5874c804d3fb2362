//! Services.

crate::service_table! { SERVICES: }
