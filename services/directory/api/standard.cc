#include "services/directory/api/standard.h"

#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/field_mask_util.h"

#include "common/text/text.h"

namespace yagura::directory {
namespace {

using google::protobuf::util::FieldMaskUtil;

bool IsFixed(std::string_view field, const std::set<std::string>& output_only) {
  return field == "name" || field == "etag" || field == "create_time" || field == "update_time" ||
         output_only.contains(std::string(field));
}

}  // namespace

absl::Status ApplyMask(const google::protobuf::Message& change,
                       const google::protobuf::FieldMask& mask,
                       const std::set<std::string>& output_only,
                       google::protobuf::Message& resource) {
  const auto* descriptor = change.GetDescriptor();
  google::protobuf::FieldMask paths;
  for (const std::string& path : mask.paths()) {
    const std::string_view first = std::string_view(path).substr(0, path.find('.'));
    if (path.empty() || !FieldMaskUtil::GetFieldDescriptors(descriptor, path, nullptr)) {
      return InvalidField("update_mask",
                          fmt::format("\"{}\" is no field of {}",
                                      EscapeForTerminal(path.substr(0, 80)), descriptor->name()));
    }
    if (IsFixed(first, output_only)) {
      return InvalidField("update_mask", fmt::format("\"{}\" cannot be changed", path));
    }
    paths.add_paths(path);
  }
  if (mask.paths().empty()) {
    std::vector<const google::protobuf::FieldDescriptor*> set;
    change.GetReflection()->ListFields(change, &set);
    for (const auto* field : set) {
      if (!IsFixed(field->name(), output_only)) paths.add_paths(field->name());
    }
  }
  FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  FieldMaskUtil::MergeMessageTo(change, paths, options, &resource);
  return absl::OkStatus();
}

absl::StatusOr<std::string> NewName(std::string_view parent, std::string_view collection,
                                    std::string_view id, std::string_view field,
                                    bool server_makes_ids) {
  const std::string made = id.empty() && server_makes_ids ? store::NewUlid() : std::string(id);
  if (store::IsValidId(made)) return fmt::format("{}/{}/{}", parent, collection, made);
  return InvalidField(field, "must be 1 to 63 lower-case letters, digits and inner hyphens");
}

}  // namespace yagura::directory
