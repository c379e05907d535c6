#pragma once

#include <string>
#include <string_view>

#include "yagura/reporting/v1/report.pb.h"

namespace yagura::reporting {

// The report as one self-contained HTML file: no scripts, no outside references, readable on paper.
// Everything that a log or a person wrote is escaped. `language`: "en", or Japanese for anything
// else.
std::string RenderHtml(const v1::ReportContent& content, std::string_view language);

}  // namespace yagura::reporting
