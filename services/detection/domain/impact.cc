#include "services/detection/domain/impact.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "fmt/format.h"

#include "common/text/printable.h"
#include "common/text/text.h"
#include "services/detection/domain/attacks.h"
#include "services/detection/domain/event_facts.h"
#include "services/detection/domain/fate.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/product_match.h"

namespace yagura::detection {
namespace {

using directory::v1::Asset;
using v1::Finding;
using v1::Impact;

constexpr int kMaxReasons = 12;
constexpr size_t kMaxReason = 300;
constexpr size_t kMaxAssets = 10;
constexpr int kMaxExploited = 8;

std::string Shown(std::string_view text, size_t limit = 100) { return Printable(text, limit); }

class Judge {
 public:
  Judge(const Finding& finding, const ImpactBasis& basis)
      : finding_(finding), basis_(basis), attacks_(finding) {}

  Impact Run() {
    const bool blocked = finding_.action() == event::v1::BLOCKED;
    NoteVulnerabilities();
    FindVictims();
    if (blocked) Say(BlockedReason());
    if (!victims_.empty()) {
      JudgeVictims(blocked);
    } else if (!blocked) {
      Set(v1::UNKNOWN, Impact::CONFIDENCE_UNSPECIFIED);
    }
    if (blocked) Set(v1::BLOCKED, AllBlocked() ? Impact::HIGH : Impact::MEDIUM);
    for (const Victim& victim : victims_) impact_.add_assets(victim.asset->name());
    return std::move(impact_);
  }

 private:
  struct Victim {
    const Asset* asset;
    bool by_network;
    AttackOnSome tried = {};
    std::vector<const KevCatalog::Entry*> listed = {};  // of what was tried against it
    bool all_known = true;  // each attack on it has CVEs, all of them in the catalogue
  };

  void Set(v1::ImpactLevel level, Impact::Confidence confidence) {
    impact_.set_level(level);
    impact_.set_confidence(confidence);
  }

  void Say(std::string reason) {
    if (impact_.reasons_size() >= kMaxReasons || reason.empty()) return;
    reason.front() = ToUpper(reason.substr(0, 1)).front();
    if (reason.size() > kMaxReason) reason = ToValidUtf8(reason.substr(0, kMaxReason - 6));
    impact_.add_reasons(std::move(reason));
  }

  // The attack's vulnerabilities and what is known of them.
  void NoteVulnerabilities() {
    bool says_that_none_is_loaded = false;
    for (const auto& entity : finding_.entities()) {
      if (entity.type() != v1::VULNERABILITY) continue;
      if (basis_.kev == nullptr && !std::exchange(says_that_none_is_loaded, true)) {
        Say("Whether it is exploited in the wild is not known: no catalogue of known exploited "
            "vulnerabilities (CISA KEV) is loaded (setting kev_file).");
      }
      const auto* known = basis_.kev == nullptr ? nullptr : basis_.kev->Find(entity.value());
      if (known == nullptr) continue;
      if (impact_.known_exploited_size() == kMaxExploited) continue;
      impact_.add_known_exploited(entity.value());
      Say(fmt::format("{} ({}) is exploited in the wild: CISA KEV, since {}{}.",
                      Shown(entity.value()), Shown(known->name), Shown(known->added),
                      known->ransomware ? ", also by ransomware" : ""));
    }
  }

  std::string BlockedReason() const {
    const auto& event = finding_.event();
    const std::string rule =
        event.rule().empty() ? "" : fmt::format(" by its rule {}", Shown(event.rule()));
    const std::string_view device = finding_.device().empty() ? event.host() : finding_.device();
    return device.empty() ? fmt::format("The device blocked it{}.", rule)
                          : fmt::format("The device {} blocked it{}.", Shown(device), rule);
  }

  // What is kept of the events tells of nothing else.
  bool AllBlocked() const {
    return static_cast<uint64_t>(finding_.evidence_size()) >= finding_.event_count() &&
           std::ranges::all_of(finding_.evidence(),
                               [](const auto& one) { return one.action() == event::v1::BLOCKED; });
  }

  bool Take(const Inventory::Found& found) {
    if (found.asset == nullptr) return false;
    const bool known = std::ranges::any_of(
        victims_, [&](const Victim& victim) { return victim.asset == found.asset; });
    if (known) return true;
    if (victims_.size() == kMaxAssets) {
      seen_all_ = false;
    } else {
      victims_.push_back({found.asset, found.by_network});
    }
    return true;
  }

  // Evidence names the same ones again and again.
  Inventory::Found Look(const v1::Entity& entity) {
    const auto [known, is_new] = found_.try_emplace({entity.type(), entity.value()});
    if (is_new) known->second = LookUp(entity);
    return known->second;
  }

  Inventory::Found LookUp(const v1::Entity& entity) const {
    switch (entity.type()) {
      case v1::ASSET:
        return basis_.inventory->ById(entity.value());
      case v1::IP_ADDRESS:
        return basis_.inventory->ByAddress(entity.value(), finding_.site());
      case v1::HOST:
        return basis_.inventory->ByHost(entity.value());
      default:
        return {};
    }
  }

  // The tenant's assets that it was aimed at; where nothing of the tenant is the target, those that
  // it came from or that reported it themselves.
  void FindVictims() {
    if (basis_.inventory == nullptr) return Say("The inventory could not be read yet.");
    if (basis_.inventory->empty()) return Say("The tenant has no inventory of assets.");
    if (!basis_.inventory->complete()) Say("The inventory was too large to be read as a whole.");
    for (const std::string_view role : {"target", "source", "host"}) {
      for (const auto& entity : finding_.entities()) {
        if (entity.role() != role) continue;
        const bool is_place = entity.type() == v1::ASSET || entity.type() == v1::IP_ADDRESS ||
                              entity.type() == v1::HOST;
        if (!is_place) continue;
        named_ = true;
        if (Take(Look(entity))) continue;
        if (role == "target" && entity.type() == v1::IP_ADDRESS) {
          ++missing_;
        } else {
          seen_all_ = false;
        }
      }
      if (victims_.empty()) continue;
      aimed_ = role == "target";
      for (Victim& victim : victims_) FindAttacksOn(role, victim);
      return;
    }
    Say(named_ ? "None of the addresses and hosts that it names is in the inventory."
               : "It names no address or host that could be looked up.");
  }

  // Of what the finding tells, only what went to the victim.
  void FindAttacksOn(std::string_view role, Victim& victim) {
    victim.tried = attacks_.On([&](const v1::Entity& entity) {
      return entity.role() == role && Look(entity).asset == victim.asset;
    });
    victim.all_known = victim.tried.is_known && victim.tried.has_cves;
    for (const std::string& cve : victim.tried.attack.cves) {
      const auto* known = basis_.kev == nullptr ? nullptr : basis_.kev->Find(cve);
      if (known == nullptr) {
        victim.all_known = false;
      } else {
        victim.listed.push_back(known);
      }
    }
    // Metadata write "Apache_Log4j2".
    std::set<std::string> products;
    for (std::string product : victim.tried.attack.products) {
      std::ranges::replace(product, '_', ' ');
      products.insert(std::move(product));
    }
    victim.tried.attack.products = std::move(products);
  }

  // How far a product of the asset is one that the attacks on it need.
  static Likeness Affected(const Product& product, const Victim& victim) {
    Likeness best = Likeness::kNone;
    for (const auto* entry : victim.listed) {
      best = std::max(best, MatchCatalogue(product, entry->vendor, entry->product));
    }
    for (const std::string& named : victim.tried.attack.products) {
      best = std::max(best, MatchSignature(product, named));
      if (WordsOf(named) == product.name) best = std::max(best, Likeness::kAlike);
    }
    for (const std::string& signature : victim.tried.attack.signatures) {
      best = std::max(best, MatchSignature(product, signature));
    }
    return best;
  }

  // Only where the affected products are known as such; a signature's name may not tell.
  static bool KnowsAffected(const Victim& victim) {
    return !victim.listed.empty() ||
           std::ranges::any_of(victim.tried.attack.products, [](const std::string& named) {
             return !WordsOf(named).empty() && WordsOf(named).front() != "any";
           });
  }

  void JudgeVictims(bool blocked) {
    for (const Victim& victim : victims_) DescribeVictim(victim);
    if (missing_ > 0) {
      Say(fmt::format("{} of the addresses that it was aimed at {} not in the inventory.", missing_,
                      missing_ == 1 ? "is" : "are"));
    }
    Likeness worst = Likeness::kNone;
    bool all_listed = true;
    bool exact = true;
    bool sure = false;
    for (const Victim& victim : victims_) {
      all_listed = all_listed && !victim.asset->products().empty() && victim.all_known &&
                   !victim.listed.empty();
      exact = exact && !victim.by_network;
      for (const std::string& text : victim.asset->products()) {
        const Product product = ParseProduct(text);
        const Likeness likeness = Affected(product, victim);
        worst = std::max(worst, likeness);
        if (likeness < Likeness::kAlike) continue;
        sure = sure || (likeness == Likeness::kSame && !victim.by_network && aimed_ &&
                        KnowsAffected(victim));
        Say(fmt::format("{} runs {}, {} {} is aimed at{}.", NameOf(*victim.asset),
                        Shown(product.shown),
                        likeness == Likeness::kSame ? "which" : "and something alike is what",
                        attacks_.are_alike() ? "the attack" : "an attack on it",
                        likeness == Likeness::kSame ? "; whether its version is open to it is not "
                                                      "known"
                                                    : ""));
      }
    }
    if (worst >= Likeness::kAlike) {
      if (blocked) {
        Say("What reaches it by another way would find it open: look at its version.");
      }
      return Set(v1::VULNERABLE, sure ? Impact::MEDIUM : Impact::LOW);
    }
    // Only where nothing is left out: a network's record is no inventory of its hosts, a
    // signature's metadata name products loosely, and of a large finding only the first is kept.
    const bool whole = seen_all_ && exact && all_listed && missing_ == 0 &&
                       finding_.entities_size() < kMaxEntities &&
                       static_cast<uint64_t>(finding_.evidence_size()) >= finding_.event_count();
    const bool cleared = worst == Likeness::kNone && aimed_ && whole;
    if (cleared && basis_.inventory->complete()) {
      Say("None of the products that the inventory lists is one that the attack needs; what is "
          "built into them it does not tell.");
      return Set(v1::NOT_AFFECTED, Impact::LOW);
    }
    // What was blocked reached nobody.
    if (!blocked) JudgeExposure();
  }

  void DescribeVictim(const Victim& victim) {
    const Asset& asset = *victim.asset;
    std::string text =
        fmt::format("{} {}", aimed_ ? "It was aimed at" : "It is about", NameOf(asset));
    const auto& event = finding_.event();
    if (aimed_ && event.dst().port() != 0 && IsEndOfFirstEvent(asset)) {
      text += fmt::format(", port {}{}{}", event.dst().port(), event.protocol().empty() ? "" : "/",
                          Shown(event.protocol(), 20));
    }
    switch (asset.exposure()) {
      case directory::v1::EXPOSURE_INTERNET:
        text += ", which the Internet can reach";
        break;
      case directory::v1::EXPOSURE_PARTNER:
        text += ", which partners can reach";
        break;
      case directory::v1::EXPOSURE_INTERNAL:
        text += ", which only its site can reach";
        break;
      default:
        text += "; from where it can be reached is not in the inventory";
    }
    if (asset.criticality() == directory::v1::CRITICALITY_CRITICAL) {
      text += "; its loss stops the customer";
    } else if (asset.criticality() == directory::v1::CRITICALITY_HIGH) {
      text += "; its loss stops a department";
    }
    if (victim.by_network) text += " (known by its network alone)";
    Say(text + ".");
  }

  // Whether the event with which it began went there; where that does not say, it did.
  bool IsEndOfFirstEvent(const Asset& asset) const {
    const auto& end = finding_.event().dst();
    if (end.ip().empty() && end.translated_ip().empty()) return true;
    return std::ranges::any_of(std::array{&end.ip(), &end.translated_ip()}, [&](const auto* ip) {
      return !ip->empty() &&
             basis_.inventory->ByAddress(AddressText(*ip), finding_.site()).asset == &asset;
    });
  }

  void JudgeExposure() {
    const AttemptFate fate = FateOf(finding_.action());
    const bool came_through = fate == AttemptFate::kPassed;
    const bool from_outside = finding_.event().direction() == "inbound";
    Impact::Confidence confidence = Impact::HIGH;
    for (const Victim& victim : victims_) {
      const auto exposure = victim.asset->exposure();
      if (exposure == directory::v1::EXPOSURE_UNSPECIFIED || victim.by_network) {
        confidence = Impact::LOW;
      }
      if (aimed_ && from_outside && came_through && exposure == directory::v1::EXPOSURE_INTERNAL) {
        Say("It came from outside although the inventory says that only its site can reach it.");
        confidence = std::min(confidence, Impact::MEDIUM);
      }
    }
    if (!came_through) {
      Say(fate == AttemptFate::kBlocked ? "It failed, as far as the events tell."
                                        : "The events do not say whether it was stopped.");
      confidence = std::min(confidence, Impact::MEDIUM);
    } else if (aimed_) {
      Say("The device let it through.");
    }
    if (!aimed_) confidence = std::min(confidence, Impact::MEDIUM);
    Set(v1::EXPOSED, confidence);
  }

  static std::string NameOf(const Asset& asset) {
    const std::string_view id = std::string_view(asset.name()).substr(asset.name().rfind('/') + 1);
    return asset.display_name().empty()
               ? fmt::format("the asset {}", id)
               : fmt::format("the asset {} ({})", id, Shown(asset.display_name()));
  }

  const Finding& finding_;
  const ImpactBasis& basis_;
  Impact impact_;
  std::vector<Victim> victims_;
  bool seen_all_ = true;  // every target was looked up and is among the victims
  const Attacks attacks_;
  std::map<std::pair<v1::EntityType, std::string_view>, Inventory::Found> found_;
  bool aimed_ = false;  // at the victims; else it came from them
  bool named_ = false;
  int missing_ = 0;  // targets that are in no inventory
};

}  // namespace

Impact JudgeImpact(const Finding& finding, const ImpactBasis& basis) {
  return Judge(finding, basis).Run();
}

int32_t RankOf(const Finding& finding) {
  const Impact& impact = finding.impact();
  int32_t rank = 16 * static_cast<int32_t>(finding.severity());
  switch (impact.level()) {
    case v1::VULNERABLE:
      rank += impact.confidence() >= Impact::MEDIUM ? 20 : 14;
      break;
    case v1::EXPOSED:
      rank += 8;
      break;
    case v1::NOT_AFFECTED:
      rank -= 10;
      break;
    case v1::BLOCKED:
      rank -= 20;
      break;
    default:
      rank += 4;
  }
  if (!impact.known_exploited().empty() && impact.level() >= v1::UNKNOWN) rank += 4;
  return std::clamp(rank, 1, 100);
}

}  // namespace yagura::detection
