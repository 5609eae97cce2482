"""Where new nodes go in the subject hierarchy."""

import slicer


def placeBeside(node, besideNode) -> None:
    """Put a node's item under the parent of another node's item; without one, do nothing."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None or besideNode is None:
        return
    beside = hierarchy.GetItemByDataNode(besideNode)
    if not beside:
        return
    parent = hierarchy.GetItemParent(beside)
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        # The application adds items by itself; slicer-core alone does not.
        hierarchy.CreateItem(parent, node)
