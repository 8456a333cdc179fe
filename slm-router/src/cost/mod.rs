//! What answers cost, and how much may be spent.

mod budget;
mod prices;

pub use budget::{Budget, Reservation, Spending};
pub use prices::Prices;
