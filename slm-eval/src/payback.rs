//! Whether a model of one's own pays, against what a cloud service costs today.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What is paid today.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudBill {
    /// The bill of a month.
    pub per_month: f64,
    /// Queries that it was for.
    pub queries_per_month: f64,
}

/// What a model of one's own takes besides the price of each query.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Investment {
    /// Once: machines, labels, training.
    pub upfront: f64,
    /// Each month: power, upkeep, people.
    pub per_month: f64,
}

/// What changing over saves, in the currency of the bill.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Payback {
    /// Cost of a month today.
    pub now_per_month: f64,
    /// Cost of a month after the change, for as many queries.
    pub then_per_month: f64,
    /// What a month saves; negative where the change costs more.
    pub saved_per_month: f64,
    /// Months until the upfront cost is saved; `None` where it never is.
    pub months: Option<f64>,
    /// Queries per month above which a month costs less than today; `None` where a query costs as much as today or
    /// more.
    pub break_even_queries: Option<f64>,
    /// Return on investment of the first year: what is saved less what was spent upfront, over that; `None` where
    /// nothing was.
    pub first_year_return: Option<f64>,
}

impl Payback {
    /// What changing over saves, when a query then costs `per_query`.
    ///
    /// # Errors
    /// When an amount is negative or not finite, or the bill is for no queries.
    pub fn of(bill: &CloudBill, investment: &Investment, per_query: f64) -> Result<Self> {
        for (name, amount) in [
            ("per_month", bill.per_month),
            ("queries_per_month", bill.queries_per_month),
            ("upfront", investment.upfront),
            ("per_month", investment.per_month),
            ("per_query", per_query),
        ] {
            if !(amount.is_finite() && amount >= 0.0) {
                return Err(Error::Setting {
                    name,
                    expected: "an amount of 0 or more",
                    got: amount.to_string(),
                });
            }
        }
        if bill.queries_per_month == 0.0 {
            return Err(Error::Empty { what: "queries on the bill" });
        }
        let then_per_month = investment.per_month + per_query * bill.queries_per_month;
        let saved_per_month = bill.per_month - then_per_month;
        let saved_per_query = bill.per_month / bill.queries_per_month - per_query;
        let upfront = investment.upfront;
        Ok(Self {
            now_per_month: bill.per_month,
            then_per_month,
            saved_per_month,
            months: (saved_per_month > 0.0).then(|| upfront / saved_per_month),
            break_even_queries: (saved_per_query > 0.0).then(|| investment.per_month / saved_per_query),
            first_year_return: (upfront > 0.0).then(|| (12.0 * saved_per_month - upfront) / upfront),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payback_by_hand() -> Result<()> {
        let bill = CloudBill { per_month: 1000.0, queries_per_month: 50_000.0 };
        let investment = Investment { upfront: 2400.0, per_month: 150.0 };
        // 150 and 50,000 at 0.001 are 200 a month: 800 saved; 0.019 saved per query.
        let found = Payback::of(&bill, &investment, 0.001)?;
        assert_eq!((found.then_per_month, found.saved_per_month), (200.0, 800.0));
        assert_eq!((found.months, found.first_year_return), (Some(3.0), Some(3.0)));
        assert!(found.break_even_queries.is_some_and(|q| (q - 150.0 / 0.019).abs() < 1e-6));
        let dear = Payback::of(&bill, &investment, 0.03)?;
        assert_eq!((dear.months, dear.break_even_queries), (None, None));
        assert!(dear.saved_per_month < 0.0 && dear.first_year_return.is_some_and(|r| r < -1.0));
        assert_eq!(Payback::of(&bill, &Investment::default(), 0.001)?.first_year_return, None);
        assert!(
            Payback::of(&CloudBill { queries_per_month: 0.0, ..bill.clone() }, &investment, 0.0).is_err()
        );
        assert!(Payback::of(&bill, &Investment { upfront: f64::NAN, ..investment }, 0.0).is_err());
        Ok(())
    }
}
