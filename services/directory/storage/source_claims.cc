#include "services/directory/storage/source_claims.h"

#include "fmt/format.h"

#include "yagura/directory/v1/source.pb.h"

namespace yagura::directory {

std::vector<store::Claim> ClaimsOf(const v1::Source& source) {
  constexpr const char* kField = "source.match.device_serial";
  const v1::SourceMatch& match = source.match();
  if (source.disabled() || match.device_serial().empty()) return {};
  const std::string context =
      match.virtual_context().empty()
          ? std::string()
          : fmt::format(" in virtual context \"{}\"", match.virtual_context());
  // Lengths keep the parts apart whatever they hold.
  const std::string box = fmt::format("{}:{}{}", match.device_serial().size(),
                                      match.device_serial(), match.virtual_context());
  return {{.what = "device of " + box,
           .group = source.device(),
           .field = kField,
           .refusal = fmt::format("serial number \"{}\"{} is that of another device",
                                  match.device_serial(), context)},
          {.what = "lines of " + match.SerializeAsString(),
           .group = std::nullopt,
           .field = kField,
           .refusal = fmt::format("another source has serial number \"{}\"{} and no criterion "
                                  "tells their lines apart",
                                  match.device_serial(), context)}};
}

}  // namespace yagura::directory
