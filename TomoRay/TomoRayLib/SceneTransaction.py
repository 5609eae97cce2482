"""All new nodes or none: what an import adds is removed again when it fails."""

import slicer
import vtk


class SceneTransaction:
    """Context manager that removes the nodes added inside it if an exception leaves it."""

    def __init__(self, scene) -> None:
        self._scene = scene
        self._newIds: list[str] = []
        self._tag = None

    def __enter__(self) -> "SceneTransaction":
        def onNodeAdded(_caller, _event, node):
            if node is not None and node.GetID():
                self._newIds.append(node.GetID())

        onNodeAdded.CallDataType = vtk.VTK_OBJECT
        self._tag = self._scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, onNodeAdded)
        return self

    def __exit__(self, errorType, _error, _traceback) -> None:
        self._scene.RemoveObserver(self._tag)
        if errorType is not None:
            self.undo()

    def undo(self) -> None:
        """Remove what was added so far, newest first."""
        for nodeId in reversed(self._newIds):
            node = self._scene.GetNodeByID(nodeId)
            if node is not None:
                self._scene.RemoveNode(node)
        self._newIds.clear()
