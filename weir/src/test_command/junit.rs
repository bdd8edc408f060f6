//! The report that CI systems read.

use anyhow::Result;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Ran, why};

pub fn report(ran: &[Ran]) -> Result<String> {
    let mut report = Report::new("weir test");
    for file in ran {
        let mut suite = TestSuite::new(file.file.as_str());
        for test in &file.tests {
            let status = match test.result.passed {
                true => TestCaseStatus::success(),
                false => failure(test)?,
            };
            let mut case = TestCase::new(test.result.name.as_str(), status);
            case.set_classname(file.file.as_str());
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

fn failure(test: &super::RanCase) -> Result<TestCaseStatus> {
    let kind = match test.result.got {
        Some(_) => NonSuccessKind::Failure,
        None => NonSuccessKind::Error,
    };
    let lines = why(&test.result)?;
    let mut status = TestCaseStatus::non_success(kind);
    if let Some(first) = lines.first() {
        status.set_message(first.as_str());
    }
    status.set_description(lines.join("\n"));
    Ok(status)
}
