//! Draws a release, by OpenDP.
//!
//! The scale follows from the cost and from how much one person can change; OpenDP's own privacy map then confirms, in exact
//! arithmetic, that the release costs no more than was paid.

use crate::{
    Charge, Measure, Series,
    wire::{Cell, Mechanism, Release, ReleaseSchema},
};
use opendp::{
    accuracy::{discrete_gaussian_scale_to_accuracy, gaussian_scale_to_accuracy},
    combinators::ConcentratedMeasure,
    domains::{AtomDomain, MapDomain, VectorDomain},
    error::Error as Failure,
    measurements::{make_gaussian, make_gaussian_threshold},
    measures::{Approximate, ZeroConcentratedDivergence},
    metrics::{AbsoluteDistance, L0PInfDistance, L2Distance},
};
use std::collections::{BTreeMap, HashMap};

/// A cell as the database counted it, within the bounds of [`Series::statement`]: the values of the dimensions, and the value.
pub type Exact = (Vec<String>, i64);

/// Cells by their keys, in order.
type Cells = BTreeMap<Vec<String>, i64>;

/// Why nothing is released. The cost stays spent.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The charge is for something else.
    #[error("the cost was recorded for series `{paid}`, not for `{series}`")]
    OtherSeries {
        /// What was paid for.
        paid: String,
        /// What was to be released.
        series: String,
    },
    /// The cells are not those of the series.
    #[error("cell {key:?} of series `{series}` {what}")]
    Cell {
        /// The series.
        series: String,
        /// The cell.
        key: Vec<String>,
        /// What is wrong.
        what: &'static str,
    },
    /// No noise fits the cost.
    #[error("no noise was found with which series `{0}` costs what it should")]
    Scale(String),
    /// OpenDP refused.
    #[error("OpenDP could not draw series `{series}`: {source}")]
    Drawing {
        /// The series.
        series: String,
        /// What it said.
        source: Box<Failure>,
    },
}

/// Draws a release that was paid for.
///
/// # Errors
///
/// [`ReleaseError`]; nothing may then be published, and the cost stays spent.
pub fn release(series: &Series, exact: &[Exact], charge: Charge) -> Result<Release, ReleaseError> {
    let spent = charge.spent;
    if spent.series != series.name || spent.rho != series.rho || spent.key_delta != series.key_delta.unwrap_or(0.0) {
        return Err(ReleaseError::OtherSeries { paid: spent.series, series: series.name.clone() });
    }
    let exact = checked(series, exact)?;
    let failed = |source| ReleaseError::Drawing { series: series.name.clone(), source: Box::new(source) };
    let limit = series.limit();
    let rho = series.rho.to_f64();
    // Upwards, so that rounding costs accuracy and not privacy.
    let distance = (limit.per_cell as f64 * f64::from(limit.cells).sqrt()).next_up();
    let mut scale = distance / (2.0 * rho).sqrt();
    let (drawn, threshold): (Cells, Option<i64>) = match series.listed() {
        Some(keys) => {
            let values: Vec<i64> = keys.iter().map(|key| exact.get(key).copied().unwrap_or(0)).collect();
            let measurement = loop {
                let domain = VectorDomain::new(AtomDomain::<i64>::default());
                let measurement = make_gaussian::<_, _, ZeroConcentratedDivergence>(
                    domain,
                    L2Distance::<f64>::default(),
                    scale,
                    None,
                )
                .map_err(failed)?;
                if measurement.map(&distance).map_err(failed)? <= rho {
                    break measurement;
                }
                scale = wider(scale, distance, rho).ok_or_else(|| ReleaseError::Scale(series.name.clone()))?;
            };
            (keys.into_iter().zip(measurement.invoke(&values).map_err(failed)?).collect(), None)
        }
        None => draw_found(series, &exact, &mut scale)?,
    };
    // OpenDP sums the discrete distribution; for wide noise the continuous one differs by less than 1.
    let half_width_95 = if scale < 10_000.0 {
        discrete_gaussian_scale_to_accuracy(scale, 0.05).map_err(failed)?
    } else {
        gaussian_scale_to_accuracy(scale, 0.05).map_err(failed)?.ceil() + 1.0
    };
    let epsilon =
        ZeroConcentratedDivergence::convert(rho).and_then(|profile| profile.epsilon(series.delta)).map_err(failed)?;
    Ok(Release {
        schema: ReleaseSchema::One,
        dimensions: series.dimensions.iter().map(|dimension| dimension.name.clone()).collect(),
        unit: match &series.measure {
            Measure::Persons {} => "persons".to_owned(),
            Measure::Records { .. } => "records".to_owned(),
            Measure::Sum { unit, .. } => unit.clone(),
        },
        most_per_person: limit.per_cell,
        cells_per_person: limit.cells,
        mechanism: Mechanism::DiscreteGaussian,
        scale,
        half_width_95,
        threshold,
        epsilon,
        delta: series.delta,
        cells: drawn.into_iter().map(|(key, value)| Cell { key, value }).collect(),
        spent,
    })
}

/// Draws a series whose cells are not all listed: of those in the data, the ones whose noisy value passes the threshold.
fn draw_found(series: &Series, exact: &Cells, scale: &mut f64) -> Result<(Cells, Option<i64>), ReleaseError> {
    let failed = |source| ReleaseError::Drawing { series: series.name.clone(), source: Box::new(source) };
    let none = || ReleaseError::Scale(series.name.clone());
    let limit = series.limit();
    let rho = series.rho.to_f64();
    let key_delta = series.key_delta.ok_or_else(none)?;
    let per_cell = i64::try_from(limit.per_cell).map_err(|_| none())?;
    let most = limit.per_cell as f64 * f64::from(limit.cells).sqrt();
    // The second distance is rounded up to a whole number; OpenDP takes the smaller of it and the exact one.
    let distance = (limit.cells, (most.ceil() as i64).saturating_add(1), per_cell);
    let make = |scale: f64, threshold: i64| {
        let domain = MapDomain::new(AtomDomain::<String>::default(), AtomDomain::<i64>::default());
        let metric = L0PInfDistance::<2, _>(AbsoluteDistance::<i64>::default());
        make_gaussian_threshold::<_, _, Approximate<ZeroConcentratedDivergence>>(domain, metric, scale, threshold, None)
    };
    let cost = |scale: f64, threshold: i64| make(scale, threshold)?.map(&distance);
    // Any threshold will do to find the scale, as long as it is above what one person contributes.
    let far = per_cell.saturating_add((*scale * 64.0).ceil() as i64 + 64);
    while cost(*scale, far).map_err(failed)?.0 > rho {
        *scale = wider(*scale, most, rho).ok_or_else(none)?;
    }
    // Likelihood falls as the threshold rises: the smallest that keeps to `key_delta`.
    let (mut low, mut high) = (per_cell, far);
    if cost(*scale, high).map_err(failed)?.1 > key_delta {
        return Err(none());
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if cost(*scale, middle).map_err(failed)?.1 <= key_delta { high = middle } else { low = middle }
    }
    let keyed: HashMap<String, i64> =
        (exact.iter()).map(|(key, value)| (serde_json::to_string(key).expect("text is JSON"), *value)).collect();
    let drawn = make(*scale, high).and_then(|measurement| measurement.invoke(&keyed)).map_err(failed)?;
    let cells = (drawn.into_iter())
        .map(|(key, value)| (serde_json::from_str(&key).expect("it was made above"), value))
        .collect();
    Ok((cells, Some(high)))
}

/// Widens the noise a little, where rounding made it cost a trace too much; not without end.
fn wider(scale: f64, distance: f64, rho: f64) -> Option<f64> {
    let wider = scale * (1.0 + 1e-12);
    (wider < distance / (2.0 * rho).sqrt() * (1.0 + 1e-9)).then_some(wider)
}

/// Returns the cells by key, if they are cells of the series.
fn checked(series: &Series, exact: &[Exact]) -> Result<Cells, ReleaseError> {
    let listed = series.listed();
    let listed: Option<std::collections::HashSet<_>> = listed.as_ref().map(|keys| keys.iter().collect());
    let mut cells = BTreeMap::new();
    for (key, value) in exact {
        let wrong = |what| ReleaseError::Cell { series: series.name.clone(), key: key.clone(), what };
        if key.len() != series.dimensions.len() {
            return Err(wrong("has another number of dimensions"));
        }
        if listed.as_ref().is_some_and(|listed| !listed.contains(key)) {
            return Err(wrong("is not listed"));
        }
        if *value < 0 {
            return Err(wrong("is below zero, which bounded values are not"));
        }
        if cells.insert(key.clone(), *value).is_some() {
            return Err(wrong("came twice"));
        }
    }
    Ok(cells)
}
