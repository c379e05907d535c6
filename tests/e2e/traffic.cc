#include "tests/e2e/traffic.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <string_view>

#include "fmt/format.h"
#include "gtest/gtest.h"

#include "common/testing/fortigate_lines.h"

namespace yagura::e2e {
namespace {

using std::chrono::nanoseconds;

// content/sigma, as far as the generator's lines concern it; `subject` by FortiGate's name.
struct Rule {
  std::string_view id;
  std::string_view severity;
  std::string_view subject;  // findings are told apart by device and this field
  bool (*matches)(const std::string& line);
  uint64_t at_least;
  std::chrono::minutes within;  // event times of one finding lie no further apart
};

// The value of a field, without its quotes; empty where the line has none.
std::string Value(const std::string& line, std::string_view name) {
  const std::string key = fmt::format(" {}=", name);
  size_t begin = line.find(key);
  if (begin == std::string::npos) return "";
  begin += key.size();
  const bool quoted = line[begin] == '"';
  if (quoted) ++begin;
  return line.substr(begin, line.find(quoted ? '"' : ' ', begin) - begin);
}

bool IsGraveAttack(const std::string& line, const std::set<std::string>& severities) {
  return Value(line, "subtype") == "ips" && severities.contains(Value(line, "severity"));
}

const std::array<Rule, 4>& Rules() {
  static const std::array<Rule, 4> kRules{
      Rule{"a1ae8391-98a3-4a2e-beaa-a2d1ceccff3f", "HIGH", "srcip",
           [](const std::string& line) {
             return Value(line, "action") == "login" && Value(line, "status") == "failed";
           },
           10, std::chrono::minutes(5)},
      Rule{"563b5f1b-ca4f-4b1f-9a2e-c5fc99d86b40", "MEDIUM", "srcip",
           [](const std::string& line) {
             return Value(line, "type") == "traffic" && Value(line, "action") == "deny";
           },
           200, std::chrono::minutes(1)},
      Rule{"261feb06-40cd-4cb5-be4c-275ee0846d2d", "MEDIUM", "attack",
           [](const std::string& line) {
             return IsGraveAttack(line, {"critical"}) && Value(line, "action") == "dropped";
           },
           5, std::chrono::minutes(10)},
      Rule{
          "37974f94-bc16-453f-b0f9-da55d1362771", "CRITICAL", "srcip",
          [](const std::string& line) {
            return IsGraveAttack(line, {"critical", "high"}) && Value(line, "action") == "detected";
          },
          1, std::chrono::minutes(10)},
  };
  return kRules;
}

std::string ActionOf(const std::string& line) {
  const std::string action = Value(line, "action");
  if (action == "login") return Value(line, "status") == "failed" ? "LOGON_FAILED" : "LOGON";
  static const std::map<std::string, std::string> kActions = {
      {"deny", "BLOCKED"},     {"blocked", "BLOCKED"}, {"dropped", "BLOCKED"},
      {"accept", "ALLOWED"},   {"close", "ENDED"},     {"passthrough", "ALLOWED"},
      {"detected", "DETECTED"}};
  const auto found = kActions.find(action);
  return found == kActions.end() ? "" : found->second;
}

std::vector<std::string> FirstTen(const std::vector<std::string>& all) {
  return {all.begin(), all.begin() + static_cast<int>(std::min<size_t>(all.size(), 10))};
}

}  // namespace

struct Traffic::Matches {
  const Rule* rule = nullptr;
  std::string device;
  std::string subject;
  uint64_t count = 0;
  TimePoint first;
  TimePoint last;
};

Traffic::Traffic(std::vector<Firewall> firewalls, uint64_t seed, TimePoint start)
    : firewalls_(std::move(firewalls)) {
  std::map<std::string, Matches> matches;
  for (const auto& firewall : firewalls_) {
    testing::FortigateLines::Options options;
    options.seed = seed++;
    options.start = start;
    options.device_name = firewall.id;
    options.serial = firewall.serial;
    testing::FortigateLines generator(options);
    auto& lines = by_firewall_[firewall.id];
    while (lines.size() < firewall.lines) {
      lines.push_back(generator.Next());
      lines_.insert(lines.back());
      Look(firewall, lines.back(), matches);
    }
  }
  for (const auto& [key, group] : matches) {
    if (group.count < group.rule->at_least) continue;
    // Else one group might be several findings, and the order of arrival might count.
    EXPECT_LE(group.last - group.first, group.rule->within);
    findings_.insert(FindingText(std::string(group.rule->id), group.device, group.subject,
                                 group.count, group.first, group.last));
    ++findings_by_severity_[std::string(group.rule->severity)];
  }
}

void Traffic::Look(const Firewall& firewall, const std::string& line,
                   std::map<std::string, Matches>& matches) {
  ++events_by_action_[ActionOf(line)];
  if (const auto attack = Value(line, "attack"); !attack.empty()) ++events_by_signature_[attack];
  const TimePoint time{nanoseconds(std::stoll(Value(line, "eventtime")))};
  for (const Rule& rule : Rules()) {
    if (!rule.matches(line)) continue;
    const std::string subject = Value(line, rule.subject);
    auto& group = matches[fmt::format("{} {} {}", rule.id, firewall.id, subject)];
    if (group.count++ == 0) {
      group.rule = &rule;
      group.device = firewall.id;
      group.subject = subject;
      group.first = group.last = time;
    }
    group.first = std::min(group.first, time);
    group.last = std::max(group.last, time);
  }
}

void Traffic::WriteFile(const Firewall& firewall, const std::filesystem::path& path) const {
  std::ofstream file(path, std::ios::binary);
  for (const auto& line : by_firewall_.at(firewall.id)) file << line << '\n';
}

std::string SubjectField(const std::string& rule) {
  const auto found = std::ranges::find(Rules(), rule, &Rule::id);
  return found == Rules().end() ? "" : std::string(found->subject);
}

std::string FindingText(const std::string& rule, const std::string& device,
                        const std::string& subject, uint64_t count, TimePoint first,
                        TimePoint last) {
  return fmt::format("{} {} {} {} {} {}", rule, device, subject, count,
                     first.time_since_epoch().count(), last.time_since_epoch().count());
}

std::string Difference(const std::multiset<std::string>& expected,
                       const std::multiset<std::string>& actual) {
  std::vector<std::string> missing;
  std::vector<std::string> extra;
  std::ranges::set_difference(expected, actual, std::back_inserter(missing));
  std::ranges::set_difference(actual, expected, std::back_inserter(extra));
  if (missing.empty() && extra.empty()) return "";
  return fmt::format("{} of {} missing:\n{}\n{} that should not be:\n{}\n", missing.size(),
                     expected.size(), fmt::join(FirstTen(missing), "\n"), extra.size(),
                     fmt::join(FirstTen(extra), "\n"));
}

}  // namespace yagura::e2e
