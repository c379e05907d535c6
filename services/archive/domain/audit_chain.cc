#include "services/archive/domain/audit_chain.h"

#include "common/clock/proto_time.h"
#include "common/digest/sha256.h"

namespace yagura::archive {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::string_view kChainLabel = "yagura.audit.chain.v1\0"sv;
constexpr std::string_view kHeadLabel = "yagura.audit.head.v1\0"sv;

std::string BigEndian(uint64_t number) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(number >> (56 - 8 * i));
  return bytes;
}

}  // namespace

std::string ChainStart(std::string_view tenant) {
  return Sha256(std::string(kChainLabel).append(tenant));
}

std::string ChainNext(std::string_view previous, uint64_t sequence, std::string_view record) {
  std::string text;
  text.reserve(previous.size() + 16 + record.size());
  text.append(previous).append(BigEndian(sequence)).append(BigEndian(record.size())).append(record);
  return Sha256(text);
}

std::string HeadText(const audit::v1::Head& head) {
  std::string text(kHeadLabel);
  text.append(BigEndian(head.tenant().size())).append(head.tenant());
  text.append(BigEndian(head.first_sequence())).append(BigEndian(head.sequence()));
  text.append(head.previous_hash()).append(head.hash());
  const auto sealed = FromProto(head.seal_time()).time_since_epoch().count();
  text.append(BigEndian(static_cast<uint64_t>(sealed)));
  text.append(BigEndian(static_cast<uint64_t>(head.expire_time().seconds())));
  return text;
}

std::string LostRecord(const audit::v1::Head& head) {
  audit::v1::Record record;
  record.set_tenant(head.tenant());
  *record.mutable_time() = head.seal_time();
  record.set_principal("services/archive");
  record.set_method("archive.sealer");
  record.set_detail("the record of this number was lost before it could be sealed");
  return record.SerializeAsString();
}

}  // namespace yagura::archive
