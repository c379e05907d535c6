#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "yagura/audit/v1/audit.pb.h"

// The chain over a tenant's audit records, byte by byte as yagura/audit/v1/audit.proto has it.
namespace yagura::archive {

inline constexpr size_t kChainHashBytes = 32;

// H(0).
std::string ChainStart(std::string_view tenant);
// H(sequence), from H(sequence - 1) and the record's bytes as they are stored.
std::string ChainNext(std::string_view previous, uint64_t sequence, std::string_view record);

// What a head's signature is over.
std::string HeadText(const audit::v1::Head& head);

// What is sealed where a record vanished from the feed before it could be: the chain has no gaps.
std::string LostRecord(const audit::v1::Head& head);

}  // namespace yagura::archive
