//! What answers cost, and how much may be spent.

mod budget;
mod prices;

pub(crate) use budget::Reservation;
pub use budget::{Budget, Spending};
pub use prices::Prices;
