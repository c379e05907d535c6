#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "common/status/status.h"

// What files of records are written with: the spools of ingestion and of the relay.
namespace yagura::ingestion {

// UNAVAILABLE (SPOOL_DISK): "cannot {what} {path}", with the reason that errno has.
Status DiskError(std::string_view what, const std::filesystem::path& path);

// Appends the lowest `bytes` bytes of `value`, the lowest first.
void PutLittle(std::string& out, uint64_t value, int bytes);
// What PutLittle wrote; `count` of at most 8.
uint64_t Little(const char* bytes, int count);

// All of them, whatever interrupts; false with errno where the disk refuses.
bool WriteAll(int fd, std::string_view bytes);

}  // namespace yagura::ingestion
