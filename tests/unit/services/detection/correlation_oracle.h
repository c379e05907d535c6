#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

// What correlations are to find, computed the simplest way from all events at once.
namespace yagura::detection::testing {

// Times are whole seconds.
struct OracleEvent {
  int64_t time = 0;
  std::string group;
  std::string what;   // "a", "b", "c": the rule that it matches
  std::string value;  // a number
};

struct OracleFinding {
  std::string group;
  int64_t first = 0;
  int64_t last = 0;
  uint64_t count = 0;

  auto operator<=>(const OracleFinding&) const = default;
};

using OracleWindow = std::vector<OracleEvent>;
using OracleCondition = std::function<bool(const OracleWindow&)>;

inline std::map<std::string, OracleWindow> ByGroup(std::vector<OracleEvent> events) {
  // What comes at the same time may have come in any order.
  std::ranges::sort(events, {},
                    [](const OracleEvent& event) { return std::pair(event.time, event.what); });
  std::map<std::string, OracleWindow> groups;
  for (auto& event : events) groups[event.group].push_back(event);
  return groups;
}

// Conditions decided at the end of windows: each begins with the first event after the one before.
inline std::multiset<OracleFinding> FindAtEnd(const std::vector<OracleEvent>& events, int64_t span,
                                              const OracleCondition& holds) {
  std::multiset<OracleFinding> findings;
  for (const auto& [group, all] : ByGroup(events)) {
    for (size_t first = 0; first < all.size();) {
      OracleWindow window;
      size_t next = first;
      while (next < all.size() && all[next].time <= all[first].time + span) {
        window.push_back(all[next++]);
      }
      if (holds(window)) {
        findings.insert({group, window.front().time, window.back().time, window.size()});
      }
      first = next;
    }
  }
  return findings;
}

// Conditions that further events can only bring about: the first window that satisfies one begins a
// finding, and events follow without a gap of more than a span.
inline std::multiset<OracleFinding> FindWhileGrowing(const std::vector<OracleEvent>& events,
                                                     int64_t span, const OracleCondition& holds) {
  std::multiset<OracleFinding> findings;
  for (const auto& [group, all] : ByGroup(events)) {
    size_t oldest = 0;  // what belongs to no finding yet
    for (size_t at = 0; at < all.size();) {
      size_t first = oldest;
      for (; first <= at; ++first) {
        if (all[at].time - all[first].time > span) continue;
        if (holds(OracleWindow(all.begin() + static_cast<long>(first),
                               all.begin() + static_cast<long>(at) + 1))) {
          break;
        }
      }
      if (first > at) {
        ++at;
        continue;
      }
      size_t last = at;
      while (last + 1 < all.size() && all[last + 1].time <= all[last].time + span) ++last;
      findings.insert({group, all[first].time, all[last].time, last - first + 1});
      at = oldest = last + 1;
    }
  }
  return findings;
}

inline std::set<std::string> ValuesOf(const OracleWindow& window) {
  std::set<std::string> values;
  for (const auto& event : window) values.insert(event.value);
  return values;
}
inline std::set<std::string> RulesOf(const OracleWindow& window) {
  std::set<std::string> rules;
  for (const auto& event : window) rules.insert(event.what);
  return rules;
}
inline double SumOf(const OracleWindow& window) {
  double sum = 0;
  for (const auto& event : window) sum += std::stod(event.value);
  return sum;
}
inline bool InOrder(const OracleWindow& window, const std::string& rules) {
  size_t at = 0;
  for (const auto& event : window) {
    if (at < rules.size() && event.what == rules.substr(at, 1)) ++at;
  }
  return at == rules.size();
}
inline double MedianOf(const OracleWindow& window) {
  std::vector<double> numbers;
  for (const auto& event : window) numbers.push_back(std::stod(event.value));
  std::ranges::sort(numbers);
  return numbers[(numbers.size() + 1) / 2 - 1];
}
inline bool HasRareValue(const OracleWindow& window, double percent) {
  const auto values = ValuesOf(window);
  return std::ranges::any_of(values, [&](const std::string& value) {
    const auto count = std::ranges::count(window, value, &OracleEvent::value);
    return 100.0 * static_cast<double>(count) <= percent * static_cast<double>(window.size());
  });
}

}  // namespace yagura::detection::testing
