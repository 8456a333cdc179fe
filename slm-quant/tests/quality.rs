//! Whole models on text: calibrated methods, plans, figures and budgets.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use slm_core::CausalLm;
use slm_core::nn::Weight;
use slm_quant::{
    Budget, CalibrationData, Error, Format, Method, Override, PlanConfig, QuantConfig, Reference, Result,
    Target, dequantize_model, measure, plan, quantize_calibrated, quantize_model,
};

/// A tiny random model whose inputs have some large channels, as those of trained models do.
fn golden(family: &str) -> CausalLm {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens").join(family);
    let mut model = CausalLm::load(&path, &Device::flex()).expect("the golden is in the repository");
    for block in &mut model.layers {
        for (_, norm) in block.norms_mut() {
            let width = norm.weight.dims()[0];
            let factors = (0..width).map(|i| if i % 13 == 0 { 4.0 } else { 1.0 }).collect::<Vec<f32>>();
            let factors = Tensor::<1>::from_data(TensorData::new(factors, [width]), &Device::flex());
            norm.weight = norm.weight.clone() * factors;
        }
    }
    model
}

fn text(seed: u32, sequences: usize) -> CalibrationData {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % 300
    };
    let sequences = (0..sequences).map(|_| (0..48).map(|_| next()).collect()).collect();
    CalibrationData { sequences, bytes: 0 }
}

fn quantized(model: &CausalLm, config: &QuantConfig) -> Result<CausalLm> {
    let mut copy = model.clone();
    if config.method.calibrates() {
        let mut steps = Vec::new();
        quantize_calibrated(&mut copy, config, &text(1, 24), &mut |p| steps.push((p.done, p.total)))?;
        let total = 4 * model.layers.len() + 1;
        assert_eq!(steps, (1..=total).map(|done| (done, total)).collect::<Vec<_>>());
    } else {
        quantize_model(&mut copy, config)?;
    }
    Ok(copy)
}

#[test]
fn every_method_works_on_every_family_and_gptq_beats_rounding() -> Result<()> {
    for family in ["llama", "qwen2", "qwen3", "phi3", "gemma2", "gemma3", "smollm3", "olmo2", "granite"] {
        let model = golden(family);
        let test = text(2, 6);
        let reference = Reference::new(&model, &test)?;
        let mut figures = Vec::new();
        for method in Method::ALL {
            let format = Format::Int4 { group_size: 32 };
            let config = QuantConfig { format, method, ..QuantConfig::default() };
            let report = reference.compare(&quantized(&model, &config)?)?;
            assert!(report.kl_mean > 0.0 && report.kl_p99 >= report.kl_mean, "{family} {method:?}");
            figures.push(report.kl_mean);
        }
        println!("{family}: {figures:.5?}");
        assert!(figures[4] < figures[0] && figures[5] < figures[0], "{family}: {figures:?}");
    }
    Ok(())
}

#[test]
fn embeddings_and_heads_are_packed_when_asked_for() -> Result<()> {
    for family in ["llama", "qwen3", "gemma3"] {
        let model = golden(family);
        for method in [Method::Nearest, Method::Gptq] {
            let format = Some(Format::Int8 { group_size: 32 });
            let overrides = ["*embed*", "lm_head*"].map(|p| Override { pattern: p.into(), format });
            let config = QuantConfig { method, overrides: overrides.to_vec(), ..QuantConfig::default() };
            let packed = quantized(&model, &config)?;
            assert!(matches!(packed.embed_tokens, Weight::Packed(_)), "{family}");
            let head = packed.lm_head.as_ref().is_none_or(|h| matches!(h.weight, Weight::Packed(_)));
            assert!(head, "{family}");
            let mut expanded = packed.clone();
            dequantize_model(&mut expanded);
            let report = measure(&expanded, &packed, &text(3, 2))?;
            assert!(report.kl_mean < 0.1, "{family}: {report:?}");
        }
    }
    Ok(())
}

#[test]
fn a_model_is_at_no_distance_from_itself() -> Result<()> {
    let model = golden("qwen3");
    let report = measure(&model, &model, &text(2, 3))?;
    assert_eq!((report.kl_mean, report.kl_p99, report.same_top), (0.0, 0.0, 1.0));
    assert_eq!(report.original, report.quantized);
    assert_eq!(report.positions, 3 * 47);
    assert_eq!(report.context, 48);
    assert_eq!(report.bytes, 2 * model.config.num_parameters());
    assert!((report.bits_per_weight - 16.0).abs() < 1e-12);
    assert!(report.tokens_per_second > 0.0);
    Ok(())
}

#[test]
fn a_broken_budget_is_refused_with_its_figures() -> Result<()> {
    let model = golden("qwen3");
    let packed = quantized(&model, &QuantConfig::default())?;
    let report = measure(&model, &packed, &text(2, 3))?.with_score(0.9, 0.7);
    Budget::default().check(&report)?;
    let kept = Budget {
        max_kl_mean: Some(report.kl_mean),
        max_kl_p99: Some(report.kl_p99),
        min_same_top: Some(report.same_top),
        max_perplexity_rise: Some(1.0),
        max_score_loss: Some(0.25),
        max_bytes: Some(report.bytes),
        max_bits_per_weight: Some(16.0),
        min_tokens_per_second: Some(0.0),
    };
    kept.check(&report)?;
    let broken = Budget { max_kl_mean: Some(report.kl_mean / 2.0), max_score_loss: Some(0.1), ..kept };
    let error = broken.check(&report).expect_err("over the limits");
    let Error::Budget { broken, report: found } = &error else { panic!("{error}") };
    assert_eq!((broken.len(), **found), (2, report));
    let text = error.to_string();
    assert!(text.contains(&format!("{:.6}", report.kl_mean)) && text.contains("hint:"), "{text}");
    // A limit on what was not measured is not kept.
    let unmeasured = slm_quant::QualityReport { score: None, ..report };
    assert!(Budget { max_score_loss: Some(1.0), ..Budget::default() }.check(&unmeasured).is_err());
    Ok(())
}

#[test]
fn plans_keep_their_target() -> Result<()> {
    let model = golden("qwen3");
    let data = text(4, 3);
    let mut last = f64::INFINITY;
    for bits in [6.0, 7.0, 9.0] {
        let config = PlanConfig::new(Target::BitsPerWeight(bits));
        let plan = plan(&model, &data, &config, &mut |_| ())?;
        assert!(plan.bits_per_weight <= bits && plan.predicted_kl < last, "{plan:?}");
        last = plan.predicted_kl;
        let config = plan.applied_to(&QuantConfig { method: Method::Gptq, ..QuantConfig::default() });
        let mut packed = quantized(&model, &config)?;
        assert_eq!(measure(&model, &packed, &data)?.bytes, plan.bytes);
        // The plan predicts what weights lose; packed products round their inputs besides.
        dequantize_model(&mut packed);
        let report = measure(&model, &packed, &data)?;
        assert!(report.kl_mean < 2.0 * plan.predicted_kl + 1e-3, "{} {}", report.kl_mean, plan.predicted_kl);
    }
    let within = plan(&model, &data, &PlanConfig::new(Target::MaxKl(last)), &mut |_| ())?;
    assert!(within.predicted_kl <= last && within.bits_per_weight <= 9.0, "{within:?}");
    let error = plan(&model, &data, &PlanConfig::new(Target::Bytes(1000)), &mut |_| ()).expect_err("too few");
    assert!(matches!(error, Error::NoPlan { .. }), "{error}");
    Ok(())
}

#[test]
fn what_cannot_be_done_is_named_and_changes_nothing() -> Result<()> {
    let model = golden("qwen3");
    let mut copy = model.clone();
    let config = QuantConfig { method: Method::Gptq, ..QuantConfig::default() };
    assert!(matches!(quantize_model(&mut copy, &config), Err(Error::NoCalibration { .. })));
    let long = CalibrationData { sequences: vec![vec![1; model.config.context_length() + 1]], bytes: 0 };
    assert!(quantize_calibrated(&mut copy, &config, &long, &mut |_| ()).is_err());
    let unknown = CalibrationData { sequences: vec![vec![1, 2, 3]], bytes: 0 };
    let skip = QuantConfig { skip: vec!["*".into()], ..config };
    let nothing = quantize_calibrated(&mut copy, &skip, &unknown, &mut |_| ());
    assert!(matches!(nothing, Err(Error::NothingToPack { .. })));
    assert!(copy.linears().all(|(_, linear)| matches!(linear.weight, Weight::Dense(_))));
    let short = CalibrationData { sequences: vec![vec![1]], bytes: 0 };
    assert!(matches!(measure(&model, &model, &short), Err(Error::Inputs { .. })));
    Ok(())
}
