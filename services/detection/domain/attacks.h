#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "yagura/detection/v1/finding.pb.h"

namespace yagura::detection {

// What was tried, as far as events name it.
struct Attack {
  std::set<std::string> cves;
  std::set<std::string> products;  // as signatures' metadata name them
  std::set<std::string> signatures;

  bool operator==(const Attack&) const = default;
};

// What was tried against some of those that a finding names.
struct AttackOnSome {
  Attack attack;
  bool is_known = true;  // evidence tells all of what was tried there
  bool has_cves = true;  // each of the attacks there names a CVE
};

// Which of a finding's attacks went to whom, as its evidence tells: of a correlation events with
// different signatures to different hosts are one finding. The finding must outlive this.
class Attacks {
 public:
  explicit Attacks(const v1::Finding& finding);

  // What was tried against those that `is_there` takes, of what evidence names. Where no kept event
  // names them: what all of these have in common.
  AttackOnSome On(const std::function<bool(const v1::Entity&)>& is_there) const;

  // Every kept event tells of the same attack.
  bool are_alike() const { return are_alike_; }

 private:
  void TakeWhatNoEventNames();

  const v1::Finding& finding_;
  std::vector<Attack> told_;  // by each piece of evidence
  Attack common_;             // what is said of all: by tags, or by no event that is kept
  bool are_alike_ = true;
};

}  // namespace yagura::detection
