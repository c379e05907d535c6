#pragma once

#include <array>
#include <string_view>

namespace yagura::ingestion {

// A parser that is written and not described, as a source's setting names it.
struct WrittenParser {
  std::string_view name;
  std::string_view title;
};
inline constexpr std::array<WrittenParser, 6> kWrittenParsers{
    {{"fortigate", "Fortinet FortiGate, FortiWeb"},
     {"windows_xml", "Windows events as XML"},
     {"snare", "Windows events as Snare's tab-separated text"},
     {"zeek", "Zeek's tables (tab-separated, with #fields)"},
     {"json", "one JSON object a line: Windows, Sysmon, Zeek, Suricata, ModSecurity, applications"},
     {"syslog", "any line with a syslog header"}}};

}  // namespace yagura::ingestion
