#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/clock/clock.h"

namespace yagura::e2e {

// What the firewalls of one customer log, and what must come of it. What must come of it is worked
// out here from the lines and the rules of content/sigma, by other means than the product's.
class Traffic {
 public:
  struct Firewall {
    std::string id;
    std::string serial;
    uint64_t lines;
  };
  // Event times begin at `start`, a line a millisecond for each firewall.
  Traffic(std::vector<Firewall> firewalls, uint64_t seed, TimePoint start);

  const std::vector<Firewall>& firewalls() const { return firewalls_; }
  uint64_t size() const { return lines_.size(); }
  const std::multiset<std::string>& lines() const { return lines_; }
  // Writes the lines of one firewall to a file.
  void WriteFile(const Firewall& firewall, const std::filesystem::path& path) const;

  // A finding as text: "rule device subject count first-nanos last-nanos".
  const std::multiset<std::string>& findings() const { return findings_; }
  // How many of them, and of events, by name of severity, action or signature.
  const std::map<std::string, uint64_t>& findings_by_severity() const {
    return findings_by_severity_;
  }
  const std::map<std::string, uint64_t>& events_by_action() const { return events_by_action_; }
  const std::map<std::string, uint64_t>& events_by_signature() const {
    return events_by_signature_;
  }

 private:
  struct Matches;
  void Look(const Firewall& firewall, const std::string& line,
            std::map<std::string, Matches>& matches);

  const std::vector<Firewall> firewalls_;
  std::map<std::string, std::vector<std::string>> by_firewall_;
  std::multiset<std::string> lines_;
  std::multiset<std::string> findings_;
  std::map<std::string, uint64_t> findings_by_severity_;
  std::map<std::string, uint64_t> events_by_action_;
  std::map<std::string, uint64_t> events_by_signature_;
};

// The field whose value tells the findings of a rule apart, besides the device; empty for others.
std::string SubjectField(const std::string& rule);

// A finding in the form of Traffic::findings.
std::string FindingText(const std::string& rule, const std::string& device,
                        const std::string& subject, uint64_t count, TimePoint first,
                        TimePoint last);

// What is in one and not in the other, the first ten of each; empty where they are equal.
std::string Difference(const std::multiset<std::string>& expected,
                       const std::multiset<std::string>& actual);

}  // namespace yagura::e2e
