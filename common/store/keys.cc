#include "common/store/keys.h"

#include "fmt/format.h"

namespace yagura::store {

std::string DataKey(const Kind& kind, std::string_view tenant, std::string_view id_path) {
  return fmt::format("y:{{{}}}:{}:{}:{}", tenant, kind.area, kind.kind, id_path);
}

std::string AllIdsKey(const Kind& kind, std::string_view tenant) {
  return fmt::format("y:{{{}}}:{}:{}#all", tenant, kind.area, kind.kind);
}

std::string IndexMarkerKey(const Kind& kind, std::string_view tenant) {
  return fmt::format("y:{{{}}}:{}:{}#version", tenant, kind.area, kind.kind);
}

std::string ReindexCursorKey(const Kind& kind, std::string_view tenant) {
  return fmt::format("y:{{{}}}:{}:{}#reindex", tenant, kind.area, kind.kind);
}

std::string IndexKeysKey(const Kind& kind, std::string_view tenant) {
  return fmt::format("y:{{{}}}:{}:{}#indexes", tenant, kind.area, kind.kind);
}

std::string IndexKey(const Kind& kind, std::string_view tenant, std::string_view index,
                     int version) {
  return fmt::format("y:{{{}}}:{}:{}#{}@{}", tenant, kind.area, kind.kind, index, version);
}

std::string ClaimsKey(const Kind& kind, std::string_view tenant) {
  return IndexKey(kind, tenant, "claims", kind.index_version);
}

std::string SequenceKey(std::string_view tenant) { return fmt::format("y:{{{}}}:seq", tenant); }

std::string FeedKey(std::string_view tenant) { return fmt::format("y:{{{}}}:changes", tenant); }

std::string RequestKey(std::string_view tenant, std::string_view hash) {
  return fmt::format("y:{{{}}}:requests:{}", tenant, hash);
}

}  // namespace yagura::store
