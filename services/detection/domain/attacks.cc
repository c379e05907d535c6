#include "services/detection/domain/attacks.h"

#include <algorithm>

#include "services/detection/domain/tags.h"

namespace yagura::detection {
namespace {

// Where an attack keeps what an entity says of it; null where that is nothing.
std::set<std::string>* PlaceOf(v1::EntityType type, Attack& attack) {
  if (type == v1::VULNERABILITY) return &attack.cves;
  return type == v1::PRODUCT ? &attack.products : nullptr;
}

void Add(const Attack& more, Attack& attack) {
  attack.cves.insert(more.cves.begin(), more.cves.end());
  attack.products.insert(more.products.begin(), more.products.end());
  attack.signatures.insert(more.signatures.begin(), more.signatures.end());
}

}  // namespace

Attacks::Attacks(const v1::Finding& finding) : finding_(finding) {
  bool has_signatures = false;
  for (const auto& evidence : finding.evidence()) {
    Attack& attack = told_.emplace_back();
    for (const auto& entity : evidence.entities()) {
      if (auto* place = PlaceOf(entity.type(), attack)) place->insert(entity.value());
    }
    if (evidence.signature().empty()) continue;
    attack.signatures.insert(evidence.signature());
    has_signatures = true;
  }
  TakeWhatNoEventNames();
  const auto find_alike = [this] {
    are_alike_ = std::ranges::all_of(told_, [this](const auto& one) { return one == told_[0]; });
  };
  find_alike();
  // Evidence of earlier releases has no signatures: that of the event with which it began is known.
  const std::string& first = finding.event().signature();
  if (first.empty()) return;
  if (has_signatures) {
    for (Attack& one : told_) {
      if (one.signatures.empty()) one.signatures.insert(first);
    }
  } else {
    Attack& owner = are_alike_ ? common_ : told_.front();
    owner.signatures.insert(first);
  }
  find_alike();
}

void Attacks::TakeWhatNoEventNames() {
  Attack all;
  for (const Attack& one : told_) Add(one, all);
  for (const auto& entity : finding_.entities()) {
    const auto* known = PlaceOf(entity.type(), all);
    if (known != nullptr && !known->contains(entity.value())) {
      PlaceOf(entity.type(), common_)->insert(entity.value());
    }
  }
  for (const std::string& tag : finding_.tags()) {
    if (std::string cve = CveOf(tag); !cve.empty()) common_.cves.insert(std::move(cve));
  }
}

AttackOnSome Attacks::On(const std::function<bool(const v1::Entity&)>& is_there) const {
  AttackOnSome some{.attack = common_};
  bool is_named = false;
  const auto take = [&](const Attack& one) {
    Add(one, some.attack);
    some.has_cves = some.has_cves && !(one.cves.empty() && common_.cves.empty());
  };
  for (int i = 0; i < finding_.evidence_size(); ++i) {
    if (!std::ranges::any_of(finding_.evidence(i).entities(), is_there)) continue;
    is_named = true;
    take(told_[static_cast<size_t>(i)]);
  }
  if (is_named) return some;
  some.is_known = are_alike_;
  if (are_alike_ && !told_.empty()) take(told_.front());
  return some;
}

}  // namespace yagura::detection
