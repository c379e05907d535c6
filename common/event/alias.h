#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/batch_codec.h"

// Names of what an event holds. Core names are the paths of the Event message ("src.ip"); original
// fields are "fields.NAME"; Sigma, ECS and OCSF names lead to core names.
namespace yagura::event {

// Where a name leads.
struct FieldPath {
  enum class Kind {
    kCore,      // `core`
    kOriginal,  // `original`: the exact name of an original field
    kRaw,       // the raw line
    kTenant,    // the batch's tenant
    kId,        // the event's id
  };
  Kind kind = Kind::kOriginal;
  Core core{};
  std::string original;

  bool operator==(const FieldPath&) const = default;
};

// The core name of a column: "src.ip".
std::string_view CoreName(Core column);
// By core name: "src.ip", "action", ...; nothing for any other name.
std::optional<Core> CoreByName(std::string_view name);
// All core names in the order of the enum, for help texts.
std::vector<std::string_view> CoreNames();

// A name of a filter: core names, "raw", "tenant", "id", "fields.NAME". Nothing for any other.
std::optional<FieldPath> ResolveFilterName(std::string_view name);

// A field name of a Sigma rule, or an ECS or OCSF name: the original field of exactly this name
// comes first where an event has it (Sigma rules name fields as the product does); `core` is the
// typed column that means the same, where there is one.
struct SigmaField {
  std::string original;
  std::optional<Core> core;
};
SigmaField ResolveSigmaName(std::string_view name);

}  // namespace yagura::event
