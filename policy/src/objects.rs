//! Policy objects as people write them, turned into the [`model`](crate::model).
